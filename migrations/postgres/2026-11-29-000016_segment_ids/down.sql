-- Back to the version before, by hand. The function of the trigger stays: it does the same without the indexes.
DROP INDEX gaia_due_ids, gaia_due_long;
DELETE FROM gaia_migrations WHERE version = '20261129000016';
