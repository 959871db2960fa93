create table orders (
    order_id text primary key,
    customer_id text,
    status text not null check (status in ('pending', 'confirmed', 'declined', 'cancelled')),
    units integer not null,
    total_cents integer not null
) strict;

create table order_line (
    order_id text not null references orders,
    line integer not null,
    product_id text not null,
    quantity integer not null,
    price_cents integer not null,
    primary key (order_id, line)
) strict, without rowid;
