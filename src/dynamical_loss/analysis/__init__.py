"""Analysis of the records of runs: functions of arrays, without reading of files."""
