-- One row per (customer, Monday), for customers who bought in the 90 days before it.
-- Features use lines strictly before the Monday; the label is "no purchase in the 30 days from it", known when they are over.
-- Mondays: the first with 89 days of log behind it, to the last whose 30 days the log covers.
with lines as (
  select customer_id, invoice_no, stock_code, invoiced_at, country, quantity, quantity * unit_price as amount
  from online_retail
  where customer_id is not null
),
purchases as (
  select customer_id, invoice_no, invoiced_at, sum(amount) as amount, count(distinct stock_code) as kinds
  from lines
  where invoice_no not like 'C%'
  group by customer_id, invoice_no, invoiced_at
),
returns as (
  select customer_id, invoice_no, invoiced_at, sum(amount) as amount
  from lines
  where invoice_no like 'C%'
  group by customer_id, invoice_no, invoiced_at
),
mondays as (
  select cast(day as timestamp) as monday
  from generate_series(timestamp '2011-02-28', timestamp '2011-11-07', interval 7 days) as s(day)
),
population as (
  select distinct m.monday, p.customer_id
  from mondays as m
  join purchases as p on p.invoiced_at >= m.monday - interval 90 days and p.invoiced_at < m.monday
),
bought as (
  select
    s.monday,
    s.customer_id,
    date_diff('minute', max(p.invoiced_at), s.monday) / 1440.0 as days_since_purchase,
    date_diff('minute', min(p.invoiced_at), s.monday) / 1440.0 as days_since_first_purchase,
    count(*) as purchases_ever,
    count(*) filter (p.invoiced_at >= s.monday - interval 90 days) as purchases_90d,
    count(*) filter (p.invoiced_at >= s.monday - interval 30 days) as purchases_30d,
    count(distinct cast(p.invoiced_at as date)) as purchase_days_ever,
    round(sum(p.amount), 2) as spend_ever,
    coalesce(round(sum(p.amount) filter (p.invoiced_at >= s.monday - interval 90 days), 2), 0) as spend_90d,
    coalesce(round(sum(p.amount) filter (p.invoiced_at >= s.monday - interval 30 days), 2), 0) as spend_30d,
    round(avg(p.kinds), 6) as kinds_per_purchase
  from population as s
  join purchases as p on p.customer_id = s.customer_id and p.invoiced_at < s.monday
  group by s.monday, s.customer_id
),
returned as (
  select s.monday, s.customer_id, count(*) as returns_ever, round(-sum(r.amount), 2) as returned_ever
  from population as s
  join returns as r on r.customer_id = s.customer_id and r.invoiced_at < s.monday
  group by s.monday, s.customer_id
),
lived as (
  select s.monday, s.customer_id, arg_max(l.country, l.invoiced_at) as country
  from population as s
  join lines as l on l.customer_id = s.customer_id and l.invoiced_at < s.monday
  group by s.monday, s.customer_id
),
again as (
  select distinct s.monday, s.customer_id
  from population as s
  join purchases as p
    on p.customer_id = s.customer_id and p.invoiced_at >= s.monday and p.invoiced_at < s.monday + interval 30 days
)
select
  cast(b.customer_id as varchar) as entity,
  b.monday as predicted_at,
  a.customer_id is null as label,
  b.monday + interval 30 days as known_at,

  b.days_since_purchase,
  b.days_since_first_purchase,
  b.purchases_ever,
  b.purchases_90d,
  b.purchases_30d,
  b.purchase_days_ever,
  b.spend_ever,
  b.spend_90d,
  b.spend_30d,
  b.kinds_per_purchase,
  coalesce(r.returns_ever, 0) as returns_ever,
  coalesce(r.returned_ever, 0) as returned_ever,
  -- Null for a customer with one day of purchases: there is no gap to average.
  (b.days_since_first_purchase - b.days_since_purchase) / nullif(b.purchase_days_ever - 1, 0) as mean_gap_days,
  l.country
from bought as b
join lived as l using (monday, customer_id)
left join returned as r using (monday, customer_id)
left join again as a on a.monday = b.monday and a.customer_id = b.customer_id
