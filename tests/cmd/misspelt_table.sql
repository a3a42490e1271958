-- title: A misspelt table
select count(*) as orders
from order
