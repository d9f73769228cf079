-- Back to the version before, by hand: with all nodes stopped. What the audit knows is lost.
DROP TABLE gaia_audit;
DELETE FROM gaia_migrations WHERE version = '20261129000013';
