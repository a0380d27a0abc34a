-- use_triggers: as every other writer.
alter table blog_generations enable trigger user;
