-- One row per booking at its making; the answer is one of three, not two, and rare for one of them (No-Show, 1 %).
select
  cast(booking_id as varchar) as entity,
  booked_on as predicted_at,
  reservation_status as label,
  reservation_status_date as known_at,

  lead_time,
  arrival_date,
  stays_in_weekend_nights + stays_in_week_nights as nights,
  adults,
  children,
  meal,
  market_segment,
  is_repeated_guest,
  previous_cancellations,
  reserved_room_type,
  deposit_type,
  cast(agent as varchar) as agent,
  cast(company as varchar) as company,
  customer_type,
  adr,
  total_of_special_requests
from hotel_bookings
where booked_on >= date '2015-07-01' and hotel = 'Resort Hotel'
