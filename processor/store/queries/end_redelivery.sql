DELETE FROM redeliveries WHERE command = $1
