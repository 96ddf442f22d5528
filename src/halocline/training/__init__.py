from halocline import compilation as compilation  # before any kernel
