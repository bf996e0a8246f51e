-- Lets timers fire again whose resume does not wait any more: it was handled to no effect, since its sequence is at or below
-- that of the last handled command; or the stream was lost and counts anew, since its sequence is above the stream's last one.
UPDATE timers t
SET resume_partition = NULL, resume_id = NULL, resume_before = NULL
WHERE t.ctid = ANY (ARRAY(
    SELECT h.ctid
    FROM timers h
    WHERE h.resume_before <= $1::bigint OR h.resume_before > $2::bigint AND h.resume_before <= $3::bigint
    LIMIT $4::bigint
    FOR UPDATE SKIP LOCKED
))
