"""The kit: functions on events, corrections, systematics, fill, processor, sums to a result."""
