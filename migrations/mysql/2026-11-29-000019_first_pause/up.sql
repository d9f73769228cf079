-- Who paused the theme first, if it was paused again since without a resume between. NULL: it was not paused again, or not said.
-- unless gaia_themes.first_paused_by
ALTER TABLE gaia_themes
  ADD COLUMN first_paused_by text CHARACTER SET utf8mb4 DEFAULT NULL,
  ADD COLUMN first_paused_reason text CHARACTER SET utf8mb4 DEFAULT NULL,
  ADD COLUMN first_paused_at datetime(6) DEFAULT NULL;
