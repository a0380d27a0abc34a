-- Bounds of what can be stored, so that no row can stop those who read or count it.
--
-- A time of 'infinity', a number of 5,000 digits or JSON nested 2,000 deep used to make every claim fail. Check
-- constraints hold for SQL typed by hand, COPY and replication alike. Each bound is further out than what the
-- statements of this program write: they cut texts and clamp sums before they reach it.
--
-- Not validated here, which would scan the tables under a strong lock: 0016 does that.

-- Whether programs can read it: Python reads no integer of more than 4,300 digits and no JSON nested a thousand deep,
-- and many programs no number beyond the range of a double. A value is as deep as there are objects and arrays around it.
create function json_is_readable(v jsonb) returns boolean language sql immutable parallel safe as $$
    select
        not jsonb_path_exists(v, 'strict $.**{33 to last}')
        and not jsonb_path_exists(v, 'strict $.** ? (@ > 1e308 || @ < -1e308)')
$$;

-- Whether it is within the years 1 to 9999 in UTC, which is what most programs can represent. False for infinity.
create function is_a_date_time(t timestamptz) returns boolean language sql immutable parallel safe as $$
    select t between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'
$$;

alter table blog_generations
    add constraint id_is_positive check (id > 0) not valid,
    add constraint source_data_is_readable check (json_is_readable(source_data)) not valid,
    add constraint line_is_a_stage_number check (line between -1 and 4) not valid,
    add constraint counters_can_be_incremented check (
        attempt <= 2000000000 and failures <= 1000000000 and rescues <= 1000000000 and lone_rescues <= 1000000000
    ) not valid,
    add constraint error_is_at_most_10000_characters check (length(error) <= 10000) not valid,
    add constraint costs_are_bounded check (
        reserved_usd between 0 and 1000000 and charged between 0 and 1000
    ) not valid,
    add constraint run_at_is_a_date_time check (is_a_date_time(run_at)) not valid,
    add constraint times_are_date_times check (
        is_a_date_time(created_at)
        and is_a_date_time(claimed_at)
        and is_a_date_time(finished_at)
        and is_a_date_time(cancel_requested_at)
    ) not valid;

alter table sites
    add constraint texts_are_bounded check (
        length(name) <= 500 and length(plan) <= 100 and length(pause_reason) <= 10000 and length(paused_for) <= 100
    ) not valid,
    add constraint settings_are_at_most_64_kb check (octet_length(settings::text) <= 65536) not valid,
    add constraint settings_are_readable check (json_is_readable(settings)) not valid,
    add constraint weight_is_at_least_a_thousandth check (weight >= 0.001) not valid,
    add constraint virtual_time_can_be_added_to check (virtual_time between 0 and 1e15) not valid,
    add constraint budgets_are_bounded check (budget_day_usd < 1e8 and budget_month_usd < 1e8) not valid,
    add constraint times_are_date_times check (
        is_a_date_time(paused_at)
        and is_a_date_time(created_at)
        and is_a_date_time(ready_at)
        and is_a_date_time(resume_at)
        and is_a_date_time(capped_until)
    ) not valid;

alter table site_arrivals
    add constraint texts_are_bounded check (length(instance_id) <= 200) not valid,
    add constraint times_are_date_times check (is_a_date_time(announced_at)) not valid;

alter table site_bills
    add constraint texts_are_bounded check (length(instance_id) <= 200) not valid,
    add constraint costs_are_bounded check (
        correction between -1000000 and 1000000 and blog_cost between 0 and 1000000
    ) not valid;

alter table site_titles
    add constraint texts_are_bounded check (
        length(key) <= 2000 and length(title) <= 2000 and length(source) <= 200
    ) not valid,
    add constraint times_are_date_times check (is_a_date_time(created_at)) not valid;

alter table scheduled_blogs
    add constraint publish_at_is_a_date_time check (is_a_date_time(publish_at)) not valid,
    add constraint times_are_date_times check (is_a_date_time(created_at)) not valid;

alter table generation_stages
    add constraint output_is_at_most_4_mb check (octet_length(output::text) <= 4194304) not valid,
    add constraint output_is_readable check (json_is_readable(output)) not valid,
    add constraint texts_are_bounded check (length(model) <= 200 and length(prompt_version) <= 200) not valid,
    add constraint counts_are_bounded check (
        tokens_in between 0 and 1000000000
        and tokens_cached between 0 and 1000000000
        and tokens_out between 0 and 1000000000
        and cost_usd between 0 and 999999.999999
        and duration_s between -1e9 and 1e9
        and attempt between 0 and 2000000000
    ) not valid,
    add constraint times_are_date_times check (is_a_date_time(created_at)) not valid;

alter table generation_errors
    add constraint texts_are_bounded check (
        length(stage) <= 200
        and length(kind) <= 200
        and length(message) <= 10000
        and length(provider) <= 200
        and length(code) <= 500
        and length(request_id) <= 500
    ) not valid,
    add constraint times_are_date_times check (is_a_date_time(created_at)) not valid;

alter table blog_posts
    add constraint texts_are_bounded check (
        length(title) <= 10000
        and length(slug) <= 10000
        and length(excerpt) <= 10000
        and length(markdown) <= 1000000
        and length(html) <= 1000000
        and cardinality(tags) <= 1000
        and length(seo_title) <= 10000
        and length(seo_description) <= 10000
        and length(image_type) <= 10000
        and length(image_alt) <= 10000
        and length(image_prompt) <= 10000
        and length(wix_media_id) <= 10000
        and length(wix_draft_id) <= 10000
        and length(wix_post_id) <= 10000
        and length(url) <= 10000
    ) not valid,
    add constraint image_is_at_most_64_mb check (octet_length(image) <= 67108864) not valid,
    add constraint times_are_date_times check (
        is_a_date_time(created_at) and is_a_date_time(updated_at) and is_a_date_time(published_at)
    ) not valid;

alter table cache
    add constraint key_is_at_most_2000_characters check (length(key) <= 2000) not valid,
    add constraint value_is_at_most_4_mb check (octet_length(value::text) <= 4194304) not valid,
    add constraint value_is_readable check (json_is_readable(value)) not valid,
    add constraint times_are_date_times check (is_a_date_time(expires_at)) not valid;

alter table workers
    add constraint texts_are_bounded check (
        length(name) <= 200 and length(host) <= 300 and length(version) <= 100
    ) not valid,
    add constraint counts_are_bounded check (
        concurrency between 0 and 1000000 and in_flight between 0 and 1000000
    ) not valid,
    add constraint stats_are_at_most_4_mb check (octet_length(stats::text) <= 4194304) not valid,
    add constraint stats_are_readable check (json_is_readable(stats)) not valid,
    add constraint times_are_date_times check (is_a_date_time(started_at) and is_a_date_time(lease_until)) not valid;

-- vendor_* are divided by; a count of 0 would stop every call of the bucket with an error.
alter table quotas
    add constraint texts_are_bounded check (length(name) <= 500 and length(provider) <= 200) not valid,
    add constraint limits_are_positive check (
        vendor_requests_per_minute > 0 and vendor_tokens_per_minute > 0
    ) not valid,
    add constraint rates_are_bounded check (
        burst_s between 0 and 3600
        and slowed between 0.01 and 1
        and line_pace between 0 and 1000
        and requests_left between 0 and 1
        and tokens_left between 0 and 1
        and returned_s between -1e15 and 1e15
    ) not valid,
    add constraint slots_are_thirteen_counts check (
        newest_slot between -2000000000 and 2000000000
        and line_tokens >= 0
        and cardinality(slot_requests) = 13
        and cardinality(slot_tokens) = 13
        and 100000000 >= all (slot_requests)
        and -100000000 <= all (slot_requests)
        and 100000000 >= all (slot_tokens)
        and -100000000 <= all (slot_tokens)
    ) not valid,
    add constraint epochs_can_be_incremented check (
        epoch between 0 and 2000000000 and line_epoch between 0 and 2000000000
    ) not valid,
    add constraint times_are_date_times check (
        is_a_date_time(requests_clock)
        and is_a_date_time(tokens_clock)
        and is_a_date_time(blocked_until)
        and is_a_date_time(learned_at)
        and is_a_date_time(slowed_at)
        and is_a_date_time(updated_at)
    ) not valid;

alter table quota_rounds add constraint times_are_date_times check (is_a_date_time(at)) not valid;

alter table quota_waits
    add constraint numbers_are_bounded check (
        turn between -1e16 and 1e16
        and returned_s between -1e15 and 1e15
        and request_s between 0 and 1e9
        and token_s between 0 and 1e9
    ) not valid,
    add constraint times_are_date_times check (
        is_a_date_time(asked_at)
        and is_a_date_time(seen_at)
        and is_a_date_time(starts_at)
        and is_a_date_time(soonest_at)
    ) not valid;

alter table provider_health
    add constraint texts_are_bounded check (
        length(provider) <= 200 and length(reason) <= 10000 and cardinality(struck) <= 10000
    ) not valid,
    add constraint counts_can_be_incremented check (
        openings between 0 and 1000000000 and epoch between 0 and 2000000000
    ) not valid,
    add constraint times_are_date_times check (
        is_a_date_time(opened_at)
        and is_a_date_time(retry_at)
        and is_a_date_time(updated_at)
        and is_a_date_time(succeeded_at)
        and is_a_date_time(probe_until)
    ) not valid;

alter table provider_usage
    add constraint texts_are_bounded check (
        length(provider) <= 200 and length(model) <= 200 and length(instance_id) <= 200
    ) not valid,
    add constraint sums_can_be_added_to check (
        requests between 0 and 1e15
        and tokens_in between 0 and 1e15
        and tokens_cached between 0 and 1e15
        and tokens_out between 0 and 1e15
        and unpriced between 0 and 1e15
        and wasted between 0 and 1e15
        and cost_usd between 0 and 99999999
        and wasted_usd between 0 and 99999999
    ) not valid,
    add constraint times_are_date_times check (is_a_date_time(hour)) not valid;

alter table site_spend
    add constraint sums_can_be_added_to check (cost_usd between -99999999 and 99999999) not valid,
    add constraint day_is_a_date check (day between '0001-01-01' and '9999-12-31') not valid;

alter table fleet_spend
    add constraint sums_can_be_added_to check (cost_usd between -99999999 and 99999999) not valid,
    add constraint day_is_a_date check (day between '0001-01-01' and '9999-12-31') not valid;

alter table fleet_budget
    add constraint budgets_are_bounded check (day_usd < 1e8 and month_usd < 1e8) not valid,
    add constraint texts_are_bounded check (length(shut_reason) <= 10000 and length(shut_for) <= 100) not valid,
    add constraint times_are_date_times check (is_a_date_time(shut_until)) not valid;

-- Claims count on from where an attempt stands, so a value typed by hand stays a billion claims below the bound.
create function blog_generations_guard_attempt() returns trigger language plpgsql as $$
begin
    raise exception 'attempt of blog % cannot be set to %: at most 1,000,000,000', new.id, new.attempt
    using errcode = 'check_violation', hint = 'Leave attempt alone: claims count it.';
end
$$;

create trigger guard_attempt_of_insert before insert on blog_generations
for each row when (new.attempt > 1000000000 and not restoring()) execute function blog_generations_guard_attempt();

create trigger guard_attempt_of_update before update on blog_generations
for each row when (new.attempt > 1000000000 and new.attempt > old.attempt and new.status <> 'PROCESSING')
execute function blog_generations_guard_attempt();

-- What enqueue_blog says in words before a check constraint says it by its name.
create function require_storable(source_data jsonb, run_at timestamptz, publish_at timestamptz) returns void
language plpgsql immutable as $$
begin
    if not is_a_date_time(run_at) then
        raise exception 'run_at is %: it must be within the years 1 to 9999', run_at
        using errcode = 'check_violation', hint = 'Leave it out, or pause the site to hold its blogs back.';
    end if;
    if not is_a_date_time(publish_at) then
        raise exception 'publish_at is %: it must be within the years 1 to 9999', publish_at
        using errcode = 'check_violation', hint = 'To publish by hand pass publish_mode => ''draft''.';
    end if;
    if not json_is_readable(source_data) then
        raise exception 'source_data is nested more than 32 levels deep, or holds a number beyond 1e308'
        using errcode = 'check_violation', hint = 'Flatten it, or put such a number into a string.';
    end if;
    if octet_length(source_data::text) > 65536 then
        raise exception 'source_data has % bytes: at most 65,536 are allowed', octet_length(source_data::text)
        using errcode = 'check_violation', hint = 'Shorten its texts.';
    end if;
end
$$;

alter table queue_gauge
    add constraint counts_are_bounded check (pending between 0 and 1e15 and newest between 0 and 9223372036854775807)
        not valid,
    add constraint times_are_date_times check (is_a_date_time(counted_at)) not valid;
