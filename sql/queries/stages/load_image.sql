-- load_image: load the picture that is stored with a post.
-- Takes  job_id.
-- Gives  one row: image bytea, null if there is no picture; no row if there is no post.
select p.image from blog_posts as p where p.generation_id = %(job_id)s;
