-- workers     of the theme on every node; NULL = as many as each node says for itself
-- size_order  grows with every such order: a node follows each order once, so that a later resize of its own stands
-- unless gaia_themes.workers
ALTER TABLE gaia_themes
  ADD COLUMN workers int DEFAULT NULL,
  ADD COLUMN size_order bigint NOT NULL DEFAULT 0;
