"""Models in other programs: calculators and forces that give the same numbers as the potentials of this one."""
