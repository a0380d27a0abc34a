-- Bounds of what can be stored, so that no row can stop those who read or count it.
--
-- A time of 'infinity', a number of 5,000 digits or JSON nested 2,000 deep used to make every claim fail. Check
-- constraints hold for SQL typed by hand, COPY and replication alike. Each bound is further out than what the
-- statements of this program write: they cut texts and clamp sums before they reach it.
--
-- Not validated here, which would scan the tables under a strong lock: 0016 does that.

-- What is readable: Python reads no integer of more than 4,300 digits and no JSON nested a thousand deep, and many
-- programs no number beyond the range of a double. A value is as deep as there are objects and arrays around it. A
-- date_time is within the years 1 to 9999 in UTC, which is what most programs can represent.
--
-- The expressions are written out: the body of an SQL function would be parsed again by each statement that writes,
-- which takes longer than all of these checks.

alter table blog_generations
    add constraint id_is_positive check (id > 0) not valid,
    add constraint source_data_is_readable check (
        not jsonb_path_exists(source_data, 'strict $.**{33 to last}')
        and not jsonb_path_exists(source_data, 'strict $.** ? (@ > 1e308 || @ < -1e308)')
    ) not valid,
    add constraint line_is_a_stage_number check (line between -1 and 4) not valid,
    add constraint counters_can_be_incremented check (
        attempt <= 2000000000 and failures <= 1000000000 and rescues <= 1000000000 and lone_rescues <= 1000000000
    ) not valid,
    add constraint error_is_at_most_10000_characters check (length(error) <= 10000) not valid,
    add constraint costs_are_bounded check (
        reserved_usd between 0 and 1000000 and charged between 0 and 1000
    ) not valid,
    add constraint run_at_is_a_date_time check (
        run_at between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'
    ) not valid,
    add constraint times_are_date_times check (
        least(created_at, claimed_at, finished_at, cancel_requested_at) >= '0001-01-01 00:00:00+00'
        and greatest(created_at, claimed_at, finished_at, cancel_requested_at) <= '9999-12-31 23:59:59.999999+00'
    ) not valid;

alter table sites
    add constraint texts_are_bounded check (
        length(name) <= 500 and length(plan) <= 100 and length(pause_reason) <= 10000 and length(paused_for) <= 100
    ) not valid,
    add constraint settings_are_at_most_64_kb check (octet_length(settings::text) <= 65536) not valid,
    add constraint settings_are_readable check (
        not jsonb_path_exists(settings, 'strict $.**{33 to last}')
        and not jsonb_path_exists(settings, 'strict $.** ? (@ > 1e308 || @ < -1e308)')
    ) not valid,
    add constraint weight_is_at_least_a_thousandth check (weight >= 0.001) not valid,
    add constraint virtual_time_can_be_added_to check (virtual_time between 0 and 1e15) not valid,
    add constraint budgets_are_bounded check (budget_day_usd < 1e8 and budget_month_usd < 1e8) not valid,
    add constraint times_are_date_times check (
        least(paused_at, created_at, ready_at, resume_at, capped_until) >= '0001-01-01 00:00:00+00'
        and greatest(paused_at, created_at, ready_at, resume_at, capped_until) <= '9999-12-31 23:59:59.999999+00'
    ) not valid;

alter table site_arrivals
    add constraint texts_are_bounded check (length(instance_id) <= 200) not valid,
    add constraint times_are_date_times check (
        announced_at between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'
    ) not valid;

alter table site_bills
    add constraint texts_are_bounded check (length(instance_id) <= 200) not valid,
    add constraint costs_are_bounded check (
        correction between -1000000 and 1000000 and blog_cost between 0 and 1000000
    ) not valid;

alter table site_titles
    add constraint texts_are_bounded check (
        length(key) <= 2000 and length(title) <= 2000 and length(source) <= 200
    ) not valid,
    add constraint times_are_date_times check (
        created_at between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'
    ) not valid;

alter table site_slugs
    add constraint texts_are_bounded check (length(slug) <= 200) not valid,
    add constraint times_are_date_times check (
        created_at between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'
    ) not valid;

alter table scheduled_blogs
    add constraint publish_at_is_a_date_time check (
        publish_at between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'
    ) not valid,
    add constraint times_are_date_times check (
        created_at between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'
    ) not valid;

alter table generation_stages
    add constraint output_is_at_most_4_mb check (octet_length(output::text) <= 4194304) not valid,
    add constraint output_is_readable check (
        not jsonb_path_exists(output, 'strict $.**{33 to last}')
        and not jsonb_path_exists(output, 'strict $.** ? (@ > 1e308 || @ < -1e308)')
    ) not valid,
    add constraint texts_are_bounded check (length(model) <= 200 and length(prompt_version) <= 200) not valid,
    add constraint counts_are_bounded check (
        tokens_in between 0 and 1000000000
        and tokens_cached between 0 and 1000000000
        and tokens_out between 0 and 1000000000
        and cost_usd between 0 and 999999.999999
        and duration_s between -1e9 and 1e9
        and attempt between 0 and 2000000000
    ) not valid,
    add constraint times_are_date_times check (
        created_at between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'
    ) not valid;

alter table generation_errors
    add constraint texts_are_bounded check (
        length(stage) <= 200
        and length(kind) <= 200
        and length(message) <= 10000
        and length(provider) <= 200
        and length(code) <= 500
        and length(request_id) <= 500
    ) not valid,
    add constraint times_are_date_times check (
        created_at between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'
    ) not valid;

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
        least(created_at, updated_at, published_at) >= '0001-01-01 00:00:00+00'
        and greatest(created_at, updated_at, published_at) <= '9999-12-31 23:59:59.999999+00'
    ) not valid;

alter table cache
    add constraint key_is_at_most_2000_characters check (length(key) <= 2000) not valid,
    add constraint value_is_at_most_4_mb check (octet_length(value::text) <= 4194304) not valid,
    add constraint value_is_readable check (
        not jsonb_path_exists(value, 'strict $.**{33 to last}')
        and not jsonb_path_exists(value, 'strict $.** ? (@ > 1e308 || @ < -1e308)')
    ) not valid,
    add constraint times_are_date_times check (
        expires_at between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'
    ) not valid;

alter table workers
    add constraint texts_are_bounded check (
        length(name) <= 200 and length(host) <= 300 and length(version) <= 100
    ) not valid,
    add constraint counts_are_bounded check (
        concurrency between 0 and 1000000 and in_flight between 0 and 1000000
    ) not valid,
    add constraint stats_are_at_most_4_mb check (octet_length(stats::text) <= 4194304) not valid,
    add constraint stats_are_readable check (
        not jsonb_path_exists(stats, 'strict $.**{33 to last}')
        and not jsonb_path_exists(stats, 'strict $.** ? (@ > 1e308 || @ < -1e308)')
    ) not valid,
    add constraint times_are_date_times check (
        least(started_at, lease_until) >= '0001-01-01 00:00:00+00'
        and greatest(started_at, lease_until) <= '9999-12-31 23:59:59.999999+00'
    ) not valid;

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
        least(requests_clock, tokens_clock, blocked_until, learned_at, slowed_at, updated_at)
        >= '0001-01-01 00:00:00+00'
        and greatest(requests_clock, tokens_clock, blocked_until, learned_at, slowed_at, updated_at)
        <= '9999-12-31 23:59:59.999999+00'
    ) not valid;

alter table quota_rounds
    add constraint times_are_date_times check (
        at between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'
    ) not valid;

alter table quota_waits
    add constraint numbers_are_bounded check (
        turn between -1e16 and 1e16
        and returned_s between -1e15 and 1e15
        and request_s between 0 and 1e9
        and token_s between 0 and 1e9
    ) not valid,
    add constraint times_are_date_times check (
        least(asked_at, seen_at, starts_at, soonest_at) >= '0001-01-01 00:00:00+00'
        and greatest(asked_at, seen_at, starts_at, soonest_at) <= '9999-12-31 23:59:59.999999+00'
    ) not valid;

alter table provider_health
    add constraint texts_are_bounded check (
        length(provider) <= 200 and length(reason) <= 10000 and cardinality(struck) <= 10000
    ) not valid,
    add constraint counts_can_be_incremented check (
        openings between 0 and 1000000000 and epoch between 0 and 2000000000
    ) not valid,
    add constraint times_are_date_times check (
        least(opened_at, retry_at, updated_at, succeeded_at, probe_until) >= '0001-01-01 00:00:00+00'
        and greatest(opened_at, retry_at, updated_at, succeeded_at, probe_until) <= '9999-12-31 23:59:59.999999+00'
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
    add constraint times_are_date_times check (
        hour between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'
    ) not valid;

alter table site_spend
    add constraint sums_can_be_added_to check (cost_usd between -99999999 and 99999999) not valid,
    add constraint day_is_a_date check (day between '0001-01-01' and '9999-12-31') not valid;

alter table fleet_spend
    add constraint sums_can_be_added_to check (cost_usd between -99999999 and 99999999) not valid,
    add constraint day_is_a_date check (day between '0001-01-01' and '9999-12-31') not valid;

alter table fleet_budget
    add constraint budgets_are_bounded check (day_usd < 1e8 and month_usd < 1e8) not valid,
    add constraint texts_are_bounded check (length(shut_reason) <= 10000 and length(shut_for) <= 100) not valid,
    add constraint times_are_date_times check (
        shut_until between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'
    ) not valid;

-- Claims count on from where an attempt stands, so a value typed by hand stays a billion claims below the bound.
create function blog_generations_guard_attempt() returns trigger language plpgsql as $$
begin
    raise exception 'attempt of blog % cannot be set to %: at most 1,000,000,000', new.id, new.attempt
    using errcode = 'check_violation', hint = 'Leave attempt alone: claims count it.';
end
$$;

create trigger guard_attempt_of_insert before insert on blog_generations
for each row when (
    new.attempt > 1000000000
    and (
        current_setting('check_function_bodies') <> 'off'
        or not has_table_privilege('blog_generations'::regclass, 'TRIGGER')
    )
) execute function blog_generations_guard_attempt();

create trigger guard_attempt_of_update before update on blog_generations
for each row when (new.attempt > 1000000000 and new.attempt > old.attempt and new.status <> 'PROCESSING')
execute function blog_generations_guard_attempt();

-- What enqueue_blog says in words before a check constraint says it by its name.
create function require_storable(source_data jsonb, run_at timestamptz, publish_at timestamptz) returns void
language plpgsql immutable as $$
declare
    first constant timestamptz := '0001-01-01 00:00:00+00';
    last constant timestamptz := '9999-12-31 23:59:59.999999+00';
begin
    if run_at not between first and last then
        raise exception 'run_at is %: it must be within the years 1 to 9999', run_at
        using errcode = 'check_violation', hint = 'Leave it out, or pause the site to hold its blogs back.';
    end if;
    if publish_at not between first and last then
        raise exception 'publish_at is %: it must be within the years 1 to 9999', publish_at
        using errcode = 'check_violation', hint = 'To publish by hand pass publish_mode => ''draft''.';
    end if;
    if jsonb_path_exists(source_data, 'strict $.**{33 to last}') then
        raise exception 'source_data is nested more than 32 levels deep'
        using errcode = 'check_violation', hint = 'Flatten it.';
    end if;
    if jsonb_path_exists(source_data, 'strict $.** ? (@ > 1e308 || @ < -1e308)') then
        raise exception 'source_data holds a number beyond 1e308'
        using errcode = 'check_violation', hint = 'Put it into a string.';
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
    add constraint times_are_date_times check (
        counted_at between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'
    ) not valid;
