-- Nothing: the tables may have been there before, with rows in them.
SELECT 1;
