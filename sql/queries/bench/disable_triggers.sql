-- disable_triggers: disable the triggers of the jobs, until enable_triggers.
alter table blog_generations disable trigger user;
