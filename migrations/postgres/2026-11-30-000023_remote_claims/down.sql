-- Back to the version before, by hand: with all nodes and remote workers stopped. Tasks that remote workers held are taken over by nodes.
DROP TABLE gaia_remote_claims;
DELETE FROM gaia_migrations WHERE version = '20261130000023';
