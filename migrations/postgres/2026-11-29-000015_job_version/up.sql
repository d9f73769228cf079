-- How often the definition of the job has changed: an editor who names the number that was read does not overwrite the change of another.
-- Plain SQL that changes a definition should add 1, too.
ALTER TABLE job_center ADD COLUMN version BIGINT NOT NULL DEFAULT 0;
