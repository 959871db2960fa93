create table customer_order (
    order_id text primary key,
    customer_id text not null,
    total_cents integer not null,
    status text not null
) strict, without rowid;

create index customer_order_by_customer on customer_order (customer_id);
