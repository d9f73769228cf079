-- Back to the version before, by hand: with all nodes stopped. A caller who repeats an addition of the last day then adds its tasks again.
DROP TABLE IF EXISTS gaia_idempotency;
DELETE FROM gaia_migrations WHERE version = '20261129000014';
