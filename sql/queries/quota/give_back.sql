-- give_back: correct what was reserved: calls never made, tokens over (or, negative, under) the estimate.
-- Takes  name; calls; tokens.
update quotas as q
set
    requests_clock = q.requests_clock - make_interval(secs => 60.0 * %(calls)s / q.requests_per_minute),
    tokens_clock = case
        when q.tokens_per_minute is null then q.tokens_clock
        else q.tokens_clock - make_interval(secs => 60.0 * %(tokens)s / q.tokens_per_minute)
    end
where q.name = %(name)s;
