-- The bounds of 0015 hold for the rows that were there before, too. Validating takes a lock under which others read and
-- write.

alter table blog_generations
    validate constraint id_is_positive,
    validate constraint source_data_is_readable,
    validate constraint line_is_a_stage_number,
    validate constraint counters_can_be_incremented,
    validate constraint error_is_at_most_10000_characters,
    validate constraint costs_are_bounded,
    validate constraint run_at_is_a_date_time,
    validate constraint times_are_date_times;

alter table sites
    validate constraint texts_are_bounded,
    validate constraint settings_are_at_most_64_kb,
    validate constraint settings_are_readable,
    validate constraint weight_is_at_least_a_thousandth,
    validate constraint virtual_time_can_be_added_to,
    validate constraint budgets_are_bounded,
    validate constraint times_are_date_times;

alter table site_arrivals
    validate constraint texts_are_bounded,
    validate constraint times_are_date_times;

alter table site_bills
    validate constraint texts_are_bounded,
    validate constraint costs_are_bounded;

alter table site_titles
    validate constraint texts_are_bounded,
    validate constraint times_are_date_times;

alter table site_slugs
    validate constraint texts_are_bounded,
    validate constraint times_are_date_times;

alter table scheduled_blogs
    validate constraint publish_at_is_a_date_time,
    validate constraint times_are_date_times;

alter table generation_stages
    validate constraint output_is_at_most_4_mb,
    validate constraint output_is_readable,
    validate constraint texts_are_bounded,
    validate constraint counts_are_bounded,
    validate constraint times_are_date_times;

alter table generation_errors
    validate constraint texts_are_bounded,
    validate constraint times_are_date_times;

alter table blog_posts
    validate constraint texts_are_bounded,
    validate constraint image_is_at_most_64_mb,
    validate constraint times_are_date_times;

alter table cache
    validate constraint key_is_at_most_2000_characters,
    validate constraint value_is_at_most_4_mb,
    validate constraint value_is_readable,
    validate constraint times_are_date_times;

alter table workers
    validate constraint texts_are_bounded,
    validate constraint counts_are_bounded,
    validate constraint stats_are_at_most_4_mb,
    validate constraint stats_are_readable,
    validate constraint times_are_date_times;

alter table quotas
    validate constraint texts_are_bounded,
    validate constraint limits_are_positive,
    validate constraint rates_are_bounded,
    validate constraint slots_are_thirteen_counts,
    validate constraint epochs_can_be_incremented,
    validate constraint times_are_date_times;

alter table quota_rounds validate constraint times_are_date_times;

alter table quota_waits
    validate constraint numbers_are_bounded,
    validate constraint times_are_date_times;

alter table provider_health
    validate constraint texts_are_bounded,
    validate constraint counts_can_be_incremented,
    validate constraint times_are_date_times;

alter table provider_usage
    validate constraint texts_are_bounded,
    validate constraint sums_can_be_added_to,
    validate constraint times_are_date_times;

alter table site_spend
    validate constraint sums_can_be_added_to,
    validate constraint day_is_a_date;

alter table fleet_spend
    validate constraint sums_can_be_added_to,
    validate constraint day_is_a_date;

alter table fleet_budget
    validate constraint budgets_are_bounded,
    validate constraint texts_are_bounded,
    validate constraint times_are_date_times;
alter table queue_gauge
    validate constraint counts_are_bounded,
    validate constraint times_are_date_times;
