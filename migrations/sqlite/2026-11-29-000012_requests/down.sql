-- Back to the version before, by hand: with all nodes stopped.
DROP TABLE gaia_requests;
DROP TABLE gaia_node_status;
ALTER TABLE gaia_themes DROP COLUMN paused_by;
ALTER TABLE gaia_themes DROP COLUMN paused_reason;
ALTER TABLE gaia_themes DROP COLUMN paused_at;
ALTER TABLE gaia_themes DROP COLUMN resized_by;
ALTER TABLE gaia_themes DROP COLUMN resized_reason;
ALTER TABLE gaia_themes DROP COLUMN resized_at;
DELETE FROM gaia_migrations WHERE version = '20261129000012';
