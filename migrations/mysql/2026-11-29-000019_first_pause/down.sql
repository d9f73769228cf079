-- Back to the version before, by hand: with all nodes stopped.
ALTER TABLE gaia_themes DROP COLUMN first_paused_by;
ALTER TABLE gaia_themes DROP COLUMN first_paused_reason;
ALTER TABLE gaia_themes DROP COLUMN first_paused_at;
DELETE FROM gaia_migrations WHERE version = '20261129000019';
