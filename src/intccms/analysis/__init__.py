"""The analysis itself: functions on events, corrections, variations, the processor, the runner."""
