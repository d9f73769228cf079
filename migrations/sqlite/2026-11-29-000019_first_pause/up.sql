-- Who paused the theme first, if it was paused again since without a resume between. NULL: it was not paused again, or not said.
ALTER TABLE gaia_themes ADD COLUMN first_paused_by TEXT;
ALTER TABLE gaia_themes ADD COLUMN first_paused_reason TEXT;
ALTER TABLE gaia_themes ADD COLUMN first_paused_at TIMESTAMP;
