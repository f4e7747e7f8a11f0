"""What the hardware is: devices, links, clusters, the roofline and the link law, the op store."""
