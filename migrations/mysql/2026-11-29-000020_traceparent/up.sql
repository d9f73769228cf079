-- The trace to which the task belongs, and the span that has caused it, as the W3C's Trace Context writes them. NULL: none. A value that is
-- no traceparent counts as none.
-- unless asynctasks.traceparent
ALTER TABLE asynctasks ADD COLUMN traceparent varchar(55) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL;
