"""What an application is made of: messages, contracts, modules, apis. Data and rules, no running."""
