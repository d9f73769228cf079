-- What the target is called, such as the name of the job whose id it is. NULL: it has no name of its own.
-- changes: what the change sets, as JSON: [{"field": …, "from": …, "to": …}]. NULL: nothing but what the action says.
-- unless gaia_audit.target_name
ALTER TABLE gaia_audit
  ADD COLUMN target_name text CHARACTER SET utf8mb4 DEFAULT NULL,
  ADD COLUMN changes mediumtext CHARACTER SET utf8mb4 DEFAULT NULL;
