"""Names of what a run measures, for those who write a figure and those who read it."""

DEVICE_PEAK = "memory/device_peak_bytes"
