-- enable_triggers: undo disable_triggers.
alter table blog_generations enable trigger user;
