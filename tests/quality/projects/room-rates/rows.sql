-- One row per booking of the city hotel that costs something; the label is its average daily rate in euros, known at once.
-- One rate of 5,400 is a slip of the keyboard (the next highest is 510) and would be all of the error.
select
  cast(booking_id as varchar) as entity,
  booked_on as predicted_at,
  adr as label,
  booked_on as known_at,

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
  reserved_room_type,
  deposit_type,
  agent,
  company,
  customer_type,
  total_of_special_requests
from hotel_bookings
where booked_on >= date '2015-10-01' and hotel = 'City Hotel' and adr > 0 and adr < 1000
