-- load_image: the picture stored with a post.
-- Takes  job_id.
-- Gives  one row: image bytea, null where there is none; or no row where there is no post.
select p.image from blog_posts as p where p.generation_id = %(job_id)s;
