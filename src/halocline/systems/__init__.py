"""What is simulated: packed boxes, their classical equilibration, and droplets cut from them."""
