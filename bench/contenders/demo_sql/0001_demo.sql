create table item (id integer primary key, name text not null, price_cents integer not null) strict;
insert into item with recursive n(i) as (select 1 union all select i + 1 from n where i < 10000)
select i, 'item ' || i, i * 7 % 10007 from n;
create table orders (id integer primary key, order_id text not null, customer_id text not null, total_cents integer not null) strict;
create table outbox (id integer primary key, order_id text not null, body blob not null) strict;
