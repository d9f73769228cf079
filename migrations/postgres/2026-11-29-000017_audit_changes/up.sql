-- What the target is called, such as the name of the job whose id it is. NULL: it has no name of its own.
-- changes: what the change sets, as JSON: [{"field": …, "from": …, "to": …}]. NULL: nothing but what the action says.
ALTER TABLE gaia_audit ADD COLUMN target_name TEXT DEFAULT NULL;
ALTER TABLE gaia_audit ADD COLUMN changes TEXT DEFAULT NULL;
