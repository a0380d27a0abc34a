-- metrics_scale: how many workers the waiting jobs need, and what that follows from. See the view.
-- Gives  one row: the columns of v_scale.
-- Plan   partial indexes of blog_generations and sites.
select
    v.workers,
    v.slots,
    v.busy,
    v.waiting,
    v.claimable,
    v.oldest_wait_s,
    v.arriving_a_minute,
    v.ended_a_minute,
    v.blog_s,
    v.quota_a_minute,
    v.stopped_by,
    v.limited_by,
    v.workers_wanted
from v_scale as v;
