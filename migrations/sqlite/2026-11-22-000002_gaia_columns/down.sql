-- Nothing: the columns hold people's data, and rows are read without them by nobody but older versions.
SELECT 1;
