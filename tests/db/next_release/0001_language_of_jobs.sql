-- Expand: a column that old workers do not know, and that may be null. The constraint is validated later.
create table job_notes (
    generation_id bigint primary key references blog_generations on delete cascade,
    note text not null
);

alter table blog_generations
add column language text,
add constraint language_is_known check (language <> '') not valid;
