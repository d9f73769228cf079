-- The trace to which the task belongs, and the span that has caused it, as the W3C's Trace Context writes them. NULL: none. A value that is
-- no traceparent counts as none.
ALTER TABLE asynctasks ADD COLUMN traceparent VARCHAR(55) DEFAULT NULL;
