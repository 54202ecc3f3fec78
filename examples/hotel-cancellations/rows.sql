-- One row per booking, as it was known when it was made.
-- Bookings made before 2015-07-01 are in the data only if their arrival was late enough, so they are left out.
-- known_at: the day on which the booking was cancelled, not shown up for, or checked out of.
select
  cast(booking_id as varchar) as entity,
  booked_on as predicted_at,
  is_canceled as label,
  reservation_status_date as known_at,

  hotel,
  lead_time,
  arrival_date,
  stays_in_weekend_nights,
  stays_in_week_nights,
  adults,
  children,
  babies,
  meal,
  market_segment,
  distribution_channel,
  is_repeated_guest,
  previous_cancellations,
  previous_bookings_not_canceled,
  reserved_room_type,
  deposit_type,
  cast(agent as varchar) as agent,
  cast(company as varchar) as company,
  customer_type,
  adr,
  total_of_special_requests
from hotel_bookings
where booked_on >= date '2015-07-01'
