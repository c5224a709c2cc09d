"""What a run or a suite will take, before the first hour is spent: time, memory, disk and money."""
