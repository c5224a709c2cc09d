"""The numbers that papers print, as data, each table with its source."""
