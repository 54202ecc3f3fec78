-- One row per session. The published table has a month but no day, and its rows were shuffled, so there is no real
-- prediction time: the order of the rows stands in for one, a minute apart. It says which rows are held out and
-- nothing else; no input is made from it.
select
  cast(session_id as varchar) as entity,
  timestamp '2018-01-01 00:00:00' + to_minutes(row_number() over ()) as predicted_at,
  revenue as label,
  timestamp '2018-01-01 00:00:00' + to_minutes(row_number() over ()) as known_at,

  administrative,
  administrative_duration,
  informational,
  informational_duration,
  product_related,
  product_related_duration,
  bounce_rates,
  exit_rates,
  page_values,
  special_day,
  month,
  cast(operating_systems as varchar) as operating_system,
  cast(browser as varchar) as browser,
  cast(region as varchar) as region,
  cast(traffic_type as varchar) as traffic_type,
  visitor_type,
  weekend
from online_shoppers
