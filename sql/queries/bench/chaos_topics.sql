-- chaos_topics: which of these blogs are in the table?
-- Takes  topics text[].
-- Gives  topic of each, as often as it is there.
select g.source_id as topic from blog_generations as g where g.source_id = any (%(topics)s::text[]);
