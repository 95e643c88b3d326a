package main

// transactionTable has those of transactions.
func transactionTable() []sabotage {
	return []sabotage{}
}
