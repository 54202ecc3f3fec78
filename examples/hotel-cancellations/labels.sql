-- One row per booking: what became of it. Rows whose known_at has not come yet are left for a later import.
-- happened_at: a guest who came has not cancelled from that day on, however long the stay.
select
  cast(booking_id as varchar) as entity,
  if(reservation_status = 'Check-Out', arrival_date, reservation_status_date) as happened_at,
  is_canceled as label,
  reservation_status_date as known_at
from hotel_bookings
