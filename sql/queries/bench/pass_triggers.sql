-- pass_triggers: load without the triggers; ends with use_triggers.
alter table blog_generations disable trigger user;
