-- history_tokens: the tokens of each paid text.
-- Gives  instance_id; at_s: when its answer was stored, in seconds of the database's clock; tokens.
select
    g.instance_id,
    extract(epoch from s.created_at)::double precision as at_s,
    s.tokens_in + s.tokens_out as tokens
from generation_stages as s
join blog_generations as g on g.id = s.generation_id
where s.model is not null
order by s.created_at;
